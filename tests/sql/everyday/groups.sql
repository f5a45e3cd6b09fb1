select dept, count(*) from emp group by dept having count(*) > 14 order by dept;
select distinct dept, flag from emp;
select distinct dept from emp order by dept;
select distinct on (dept) dept, id, name from emp order by dept, id desc;
select distinct on (dept, flag) dept, flag, id from emp order by dept, flag, id;
select distinct on (dept) * exclude (b) from (select * from emp where id in (4, 5, 6, 7));
select dept, flag, sum(id) from emp group by grouping sets ((dept), (flag), ());
select dept, flag, m, sum(id), count(*) from emp group by cube(dept, flag, m);
select dept, flag, grouping(dept), grouping(flag), grouping_id(dept, flag), sum(id) from emp
    group by rollup(dept, flag);
select dept, sum(id) from emp group by rollup(dept) having grouping(dept) = 0;
select dept, count(distinct flag), sum(distinct id % 5) from emp group by rollup(dept);
select count(*) filter (where id > 10), sum(id) filter (where dept = 'eng'), avg(id) filter
    (where false) from emp;
select dept, count(*) filter (dept is not null) from emp group by dept;
