select * from emp order by dept nulls first, salary desc;
select id, name from emp order by lower(name) desc nulls last, id;
select dept, flag, id from emp order by all;
select dept, flag, id from emp order by all desc;
select id from emp order by id % 7, id desc limit 10 offset 5;
select id from emp order by id limit 5+5 offset 2*2;
select id from emp order by id limit 25%;
select id from emp order by id limit (select 3);
select id from emp order by id limit (select count(*) from dept) offset (select 2);
select id from emp order by id offset 55;
select id from emp order by id limit 0;
select id, row_number() over () from (select id from emp order by id desc) order by id desc;
select * from (select id from emp order by id) positional join (select title from dept order by
    opened);
select * from (select name from emp order by id desc limit 7 offset 2) positional join (select
    dept from (select * from emp order by flag, id) where id > 20 limit 9);
select name, row_number() over (), row_number() over (partition by dept), lag(name) over () from
    (select name, dept from emp order by flag, id desc);
select name from (select name from emp order by flag, id desc) limit 40%;
with n as (select name, row_number() over () r from (select name from emp order by flag, id desc))
    select a.name, a.r from n a join n b using (r);
select distinct on (dept) dept, name from (select name, dept from emp order by flag, id desc);
select id from (select id, name, bonus from emp order by salary desc) limit (select 3);
select name from (select name from emp order by id desc) limit (select count(*) - 55 from emp);
select name from (select name, id from emp order by id desc) limit (select count(*) - 55 from emp) offset (select 2);
select name from (select name from emp order by id desc) offset (select count(*) - 5 from emp);
with c as materialized (select name from emp order by id desc) select * from c limit 3;
with c as materialized (select name from emp order by id desc limit 10) select a.name, b.name from c a positional join c b;
with c as materialized (select name from emp order by id desc limit 10) select row_number() over () r, name from c order by r;
with c as materialized (select name from emp order by id desc) select list(name) from c where name like '%1%';
with c as materialized (select name from emp order by id desc) select (select string_agg(name) from c), (select first(name) from c where name is not null);
select row_number() over () r, name, (select max(id) from emp) m from (select name from emp order by id desc) order by r;
select list(name) from (select name, (select max(id) from emp) m from (select name from emp order by id desc));
