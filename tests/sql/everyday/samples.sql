select count(*) from emp using sample 7;
select count(*) from emp tablesample 0%;
select count(*) from (select * from emp using sample 1 rows);
select count(*) from emp tablesample 50% where id < 1;
