select d.dept from dept d where exists (from emp e where e.dept = d.dept and e.salary > 7000);
select d.dept from dept d where not exists (select 1 from emp e where e.dept = d.dept);
select id from emp where dept not in (select dept from dept where dept is not null);
select id from emp where dept not in (select dept from emp where id < 5);
select id, dept not in (select dept from emp) x from emp;
select id, dept in (select dept from dept where dept <> 'eng') x from emp;
select id, id in (select null::int) from emp;
select id, id in (select 1 where false), id not in (select 1 where false) from emp;
select id from emp where id > all (select budget / 100000 from dept where budget is not null);
select id from emp where id = any (select mgr from emp);
select id from emp where id <= any (select mgr from emp where mgr < 3);
select id, id > all (select mgr from emp where mgr < 10) from emp;
select id, (select title from dept d where d.dept = e.dept) t from emp e;
select id, (select max(salary) from emp f where f.dept = e.dept and f.id <> e.id) t from emp e;
select id, (select count(*) from emp f where f.mgr = e.id) reports from emp e order by id;
select id, (select count(*) from emp f where f.id < e.id) before from emp e;
select id, (select string_agg(title, ',' order by title) from dept where budget > e.salary * 50)
    from emp e;
select e.id, x.id, x.name from emp e, lateral (select id, name from emp f where f.mgr = e.id
    order by id limit 1) x;
select d.dept, x.s from dept d left join lateral (select sum(salary) s from emp where emp.dept =
    d.dept) x on true;
select d.dept, top.id from dept d, lateral (select id from emp where emp.dept = d.dept order by
    salary desc limit 2) top order by all;
select e.id from emp e where salary = (select max(salary) from emp f where f.dept is not
    distinct from e.dept);
select e.id from emp e where exists (select 1 from emp f where f.mgr = e.id and exists (select 1
    from emp g where g.mgr = f.id));
