select any_value(dept), first(dept), last(dept), arbitrary(dept) from emp where dept = 'eng';
select sum(id), avg(id), min(id), max(id), count(id), count(*), stddev(id), stddev_pop(id),
    variance(id), var_pop(id), stddev_samp(id) from emp;
select sum(salary), avg(salary), sum(bonus), avg(bonus), sum(ubig), sum(small), avg(h), sum(h),
    min(h) from emp;
select dept, sum(id), avg(salary), sum(h), bool_and(flag), bool_or(flag), bit_and(id),
    bit_or(id), bit_xor(id), product(id / 10) from emp group by dept;
select corr(id, bonus), covar_pop(id, bonus), covar_samp(id, bonus), regr_slope(id, bonus),
    round(regr_intercept(id, bonus), 6), regr_r2(id, bonus), regr_count(id, bonus), regr_avgx(id, bonus) from
    emp;
select median(id), quantile_cont(id, 0.3), quantile_disc(id, 0.3), quantile_cont(salary, [0.25,
    0.5, 0.75]), median(hired), median(ts) from emp;
select percentile_cont(0.25) within group (order by id desc), percentile_disc(0.75) within group
    (order by salary desc), quantile_disc(id, [0.1, 0.9]) from emp;
select dept, percentile_cont(0.5) within group (order by salary desc) from emp group by dept;
select mode(flag), mode(dept) from emp where dept <> 'ops' or flag;
select mode() within group (order by dept) from emp where dept <> 'sales';
select arg_max(name, id), arg_min(name, id), max_by(id, salary), min_by(id, salary), arg_max(id,
    salary, 3), arg_min_null(name, id), arg_max(addr, id) from emp;
select dept, max(id, 2), min(salary, 2), arg_max(id, salary, 2) from emp group by dept;
select string_agg(name, ', ' order by id), string_agg(distinct dept, '|' order by dept),
    listagg(dept, '-' order by id), group_concat(dept order by id) from emp;
select list(id order by id desc), array_agg(distinct dept order by dept), list(name order by
    id)[1:3] from emp;
select dept, list(id order by salary desc, id) filter (where flag) from emp group by dept;
select histogram(dept), histogram(id % 5) from emp;
select dept, histogram(flag) from emp group by dept;
select approx_count_distinct(dept) > 1, approx_quantile(id, 0.5) between 20 and 40,
    approx_top_k(dept, 1) is not null from emp;
select count(distinct dept), count(distinct (dept, flag)), sum(distinct id), avg(distinct id %
    4) from emp;
select dept, count(distinct m), count(distinct flag) filter (where id > 5) from emp group by dept;
select bitstring_agg(id, 1, 60) from emp;
select map_agg, 1 from (select histogram(m) map_agg from emp);
select dept, geomean(id), favg(bonus), fsum(bonus), count_if(flag), countif(id > 5),
    sumkahan(bonus) from emp group by dept;
select count(columns(*)) from monthly;
select max(name), min(name), max(dept), min(u), max(m), max(b), max(tags), max(addr) from emp;
select percentile_cont(0.25) within group (order by id desc), percentile_disc(0.75) within group
    (order by salary desc), quantile_disc(id, [0.1, 0.9]),quantile_cont(id, 0) from emp;
select percentile_cont(0) within group (order by id desc), percentile_cont([0,0.25,1]) within
    group (order by id desc) from emp;
select id, row_number() over () from (select id from emp order by id desc) order by id desc;
select list(id), string_agg(name, ',') from (select * from emp order by id desc);
select first(id), last(id) from (select id from emp order by salary desc);
select dept, list(id) from (select * from emp order by id desc) group by dept;
select dept, bool_and(salary > 0 or flag), bool_or(id > 3 and flag), count_if(flag or small > 9) from emp group by dept;
select bool_and(a between 1 and 3 and b is not null), bool_or(not (a = 1 or b = 2)) from (values (1, 2), (3, null)) v(a, b);
select max(case when flag or id = 2 then salary end), arg_max(id, flag and id = 4 or id > 99), count(distinct flag and id > 3) from emp;
select first(flag or id = 1 order by id), list(distinct flag and id = 1 order by 1), last(flag and id = 1 order by id) from emp;
