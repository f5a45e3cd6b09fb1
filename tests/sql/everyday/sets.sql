select dept from emp union select dept from dept order by dept;
select dept from emp union all select dept from dept;
select 1 a, 2 b union all by name select 3 b, 4 c;
select dept, id from emp where id < 5 union by name select title, dept from dept;
select dept from emp intersect select dept from dept;
select dept from emp intersect all select dept from emp where id < 20;
select dept from emp except select dept from dept;
select dept from emp except all select dept from emp where id < 20;
select id from emp where id < 3 union all select id from emp where id > 58 union all values
    (100), (200) order by 1;
(select id from emp order by id limit 3) union all (select id from emp order by id desc limit 3);
select dept, count(*) from (select dept from emp union all select dept from dept union all
    select 'x') group by dept;
select x from range(3) t(x) union all select id from emp where id < 3;
select id from emp where id < 3 union all select count(*) from emp union all select id from emp
    group by id having id < 4;
select dept from emp group by dept union all select dept from dept;
