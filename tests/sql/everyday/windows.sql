select id, row_number() over (order by id), rank() over (order by dept), dense_rank() over
    (order by dept), percent_rank() over (order by salary), cume_dist() over (order by dept),
    ntile(4) over (order by id) from emp;
select id, lag(id) over w, lead(id, 2, -1) over w, first_value(id) over w, last_value(id) over
    w, nth_value(id, 3) over w from emp window w as (partition by dept order by id);
select id, sum(id) over (partition by dept order by id rows between unbounded preceding and
    current row) from emp;
select id, avg(id) over (order by id rows between 3 preceding and 3 following exclude current
    row) from emp;
select id, sum(id) over (order by id // 10 groups between current row and 1 following exclude
    ties) from emp;
select id, sum(id) over (order by id // 10 range between current row and current row exclude
    group) from emp;
select id, count(*) over (order by id range between 5 preceding and 5 following) from emp;
select id, sum(salary) over (order by hired range between interval 25 days preceding and
    interval 15 days following) from emp;
select id, sum(salary) over (order by ts desc range between interval 2 hours preceding and
    current row) from emp;
select id, count(*) over (order by bonus range between 2.5 preceding and 2.5 following) from emp
    where bonus is not null;
select id, min(salary) over (partition by flag order by id rows 2 preceding) from emp;
select id, count(distinct dept) over (order by id rows between 5 preceding and current row) from
    emp;
select id, sum(id) filter (where flag) over (partition by dept order by id) from emp;
select id, first_value(name ignore nulls) over (partition by dept order by id desc) from emp;
select id, array_agg(id) over (partition by dept order by id rows between 1 preceding and 1
    following) from emp;
select id from emp qualify row_number() over (partition by dept order by salary desc) <= 2;
select dept, sum(salary) s, rank() over (order by sum(salary) desc) from emp group by dept;
select dept, sum(sum(salary)) over () from emp group by dept;
select id, sum(id) over (partition by dept), sum(id) over (partition by flag), sum(id) over ()
    from emp;
select id, row_number() over (partition by dept, flag order by id), count(*) over (partition by
    dept) from emp;
select id, row_number(order by salary desc, id) over (partition by dept) from emp;
select id, row_number(order by flag, id) over (), row_number(order by flag, id) over (order by
    dept) from emp;
select id, row_number(order by flag, id) over (partition by dept), lag(id order by flag, id) over
    (partition by dept), lead(id, 2, -1 order by flag, id) over (partition by dept), ntile(4 order
    by flag, id) over () from (select * from emp order by id desc);
with n as (select id, row_number(order by m desc, id) over (order by dept) r from emp) select a.id,
    a.r from n a join n b using (id, r);
with n as (select id, cume_dist() over (order by dept rows 1 preceding) c, percent_rank() over
    (order by dept rows 1 preceding) p from emp) select a.* from n a join n b using (id, c, p);
select id, cume_dist() over (rows 1 preceding) from (select * from emp order by id);
select id, first_value(id) over (partition by dept), string_agg(m) over (partition by dept) from
    (select * from emp order by salary desc, id);
