with a as (select dept, sum(salary) s from emp group by dept), b as (select avg(s) v from a)
    select a.* from a, b where a.s > b.v;
with a as (select * from emp where id < 10) select count(*) from a x join a y on x.id = y.mgr;
with a as not materialized (select id from emp) select * from a union all select * from a;
with recursive r(n, f) as (select 1, 1 union all select n + 1, f * (n + 1) from r where n < 10)
    select * from r order by n;
with recursive chain as (select id, mgr, 0 depth from emp where mgr is null union all select
    e.id, e.mgr, c.depth + 1 from emp e join chain c on e.mgr = c.id) select depth, count(*) from
    chain group by depth order by depth;
with recursive up(id, root) as (select id, id from emp where id < 4 union select e.id, u.root
    from emp e join up u on e.mgr = u.id) select root, count(*), max(id) from up group by root;
with recursive t as (select 1 x union select (x * 2) % 7 from t) select * from t;
with a as (select dept, sum(bonus) s, list(id) l from emp group by dept) select x.dept, x.s =
    y.s, x.l = y.l from a x join a y on x.dept is not distinct from y.dept;
with a as (select id from emp limit 5) select count(*) from a x join a y on x.id = y.id;
with a as (select id, row_number() over () r from emp) select count(*) from a x join a y on x.id
    = y.id and x.r = y.r;
with a as (select any_value(id) i, dept from emp group by dept) select count(*) from a x join a
    y on x.i = y.i;
with a as (select id, first_value(id) over (partition by flag order by dept) f, last_value(id) over
    (partition by dept) l, list(id) over (partition by dept) i, mode(m) over (partition by flag) m
    from emp) select count(*) from a x join a y using (id) where (x.f, x.l, x.i, x.m) is distinct
    from (y.f, y.l, y.i, y.m);
with a as (select id, nth_value(id, 2) over (partition by flag order by dept) n, string_agg(dept)
    over (partition by flag order by dept) s, list(distinct id) over (partition by flag) d, sum(bonus)
    over (partition by flag) b from emp) select count(*) from a x join a y using (id) where (x.n,
    x.s, x.d, x.b) is distinct from (y.n, y.s, y.d, y.b);
with a as (select id, list(id order by dept) over (partition by flag order by hired rows 3
    preceding) l from emp) select count(*) from a x join a y using (id) where x.l <> y.l;
with a as (select distinct on (flag, dept) flag, dept, id from emp), b as (select * from a limit
    3), c as (select * from a order by flag limit 30%) select (select list(id order by id) from b) =
    (select list(id order by id) from b), (select list(id order by id) from c) = (select list(id
    order by id) from c);
