select count(*) from (select distinct name collate nocase from (select name from emp union all
    select upper(name) from emp));
select lower(z), dept from (select distinct name collate nocase.noaccent z, dept from emp);
select lower(z) from (select name collate nocase z from emp union select upper(name) from emp);
select name collate nocase z from emp except select upper(name) from emp;
select lower(z), dept from (select name collate nocase z, dept from emp except select upper(name),
    'eng' from emp);
select lower(z) from (select name collate noaccent z from emp intersect select upper(name) collate
    nocase from emp where id < 20);
select name from emp where id < 9 intersect select 'Name 1' collate nocase;
select dept collate posix from emp except select dept from dept;
