select count(*) from emp a, emp b, emp c where a.id = b.mgr and b.id = c.mgr and c.flag;
select * from (select id, dept from emp where id < 5) a left join (select dept, budget from
    dept) b using (dept) order by id;
select a.dept, count(*), count(b.id) from dept a left join emp b on a.dept = b.dept and b.salary
    > 4000 group by a.dept order by 1;
select dept, cnt from (select dept, count(*) cnt from emp group by dept) where cnt = (select
    max(cnt) from (select count(*) cnt from emp group by dept));
select e.dept, sum(e.salary) / d.budget from emp e join dept d on e.dept = d.dept group by
    e.dept, d.budget having d.budget is not null;
select id, salary, salary - lag(salary) over (order by id) diff from emp order by id limit 5;
select dept, salary, id from emp where (dept, salary) in (select dept, max(salary) from emp
    group by dept);
select * from (select dept, id, row_number() over (partition by dept order by salary desc) rn
    from emp) where rn = 1 order by dept;
select count(*) from emp where dept = 'eng' and id > (select avg(id) from emp where dept = 'eng');
select count(*), count(name), count(distinct name) from emp where id > 1000;
select sum(id), max(name), list(id), string_agg(name, ',') from emp where id > 1000;
select dept, sum(id) from emp where id > 1000 group by dept;
select now() = now(), current_date = today(), current_timestamp >= tstz, get_current_timestamp()
    = now() from emp;
select count(distinct now()), count(distinct current_time) from emp;
select current_setting('TimeZone'), current_user is not null, current_schema() from emp limit 1;
select nextafter(1.0::double, 2), 1::double + 1e-16, 1.0::float / 3, 16777217::float;
select 9223372036854775807 x, -9223372036854775808 y, 170141183460469231731687303715884105727 z,
    18446744073709551615::ubigint w, 99999999999999999999999999999999999999.0 v;
select id from emp where ((id > 5 and id < 10) or (id > 50 and (flag or dept = 'ops'))) and not
    (id = 7);
select id from emp where id = 1 union select id from emp where id = 2 intersect select id from emp;
select t.* from (select 1 x) t, (select 2 y) s;
select (select 5), (select max(id) from emp), exists (select 1 from dept), (select id from emp
    where id = 3);
select array(select id from emp where id < 5 order by id) from dept;
select d.dept, array(select id from emp e where e.dept = d.dept order by id) from dept d;
select id from emp where tags = ['t1', 'x1'] or 't2' in tags or list_contains(tags, 't0');
select id from emp where addr = {'city': 'City1', 'zip': 10};
select addr, count(*) from emp group by addr;
select tags, count(*) from emp group by tags;
select attrs, count(*) from emp group by attrs;
select distinct tags[1], addr.city from emp;
select a.id from emp a join emp b on a.tags = b.tags and a.addr = b.addr;
select m, count(*) from emp group by m order by count(*) desc, m;
select a.m, b.id from emp a join emp b on a.m = b.m and a.id = b.id;
select count(*) from (select iv from emp union select interval 1 month from emp);
select count(*) from emp tablesample 100%;
select count(*) from (select * from emp using sample 100 percent (bernoulli));
select getvariable('x') from emp limit 1;
with t(a, b) as (values (1, 2), (3, 4)) select a + b from t;
with a as (select 1 x), b as (select x + 1 y from a) from b select y, y * 2 z;
select x.y from (select {'y': id} x from emp);
select id from emp order by random() limit 0;
select sum(id) over (order by id) from emp limit 3 offset 3;
select lead(dept) over (order by id), nth_value(dept, 2 ignore nulls) over (order by id),
    fill(bonus) over (order by id) from emp;
select first(id order by salary desc), last(id order by salary), any_value(id order by id desc),
    arg_max(id, salary order by id), sum(id order by salary) from emp;
select dept, first(id order by salary desc), list(distinct flag order by flag) from emp group by
    dept;
select dept, sum(id) filter (where flag) * 1.0 / count(*) from emp group by dept order by 2
    nulls first, 1;
