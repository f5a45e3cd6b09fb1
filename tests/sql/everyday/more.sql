select date_trunc('month', hired) m, count(*) n from emp group by 1;
select strftime(hired, '%Y-%m') ym, count(*) from emp group by ym;
select try_strptime(name,'%Y') from emp;
select date_diff('day', hired, date '2024-01-01'), datediff('month', hired, current_date) is not
    null from emp;
select ts + iv, iv * 2, hired - date '2019-01-01' from emp;
select last_day(hired), dayname(hired), monthname(hired), year(hired) from emp;
select tstz at time zone 'Europe/Berlin', date_trunc('day', tstz), tstz::date from emp;
select make_date(2024, 1+id%12, 1), make_timestamp(2024,1,1,0,0,id::double%60) from emp;
select current_date >= hired, now() > tstz, today() > hired from emp;
select * from range(date '2024-01-01', date '2024-02-01', interval 7 day);
select regexp_extract(name, '(\d+)', 1) from emp;
select regexp_replace(name, '[aeiou]', '*', 'g') from emp;
select id from emp where name similar to 'Name \d';
select regexp_full_match(name,'.*5'), regexp_extract_all(name,'\d') from emp;
select upper(name), length(name), lpad(name,12,'.'), left(name,2), right(name,2), reverse(name),
    instr(name,'e'), split_part(name,' ',2) from emp;
select concat_ws('-', name, dept, id), name || '/' || dept from emp;
select id from emp where name like 'Name!_%' escape '!';
select starts_with(name,'N'), contains(name,'1'), ends_with(name,'9'), name ^@ 'Na' from emp;
select dept, array_agg(id order by id desc) filter (where flag) from emp group by dept;
select dept, string_agg(dept, '|') from emp group by dept;
select tags[1:1], list_slice(tags,1,2), tags[-1] from emp;
select [x || '!' for x in tags if x like 't%'] from emp;
select list_transform(tags, lambda x, i: x || i || name) from emp;
select id, unnest(tags) t from emp;
select id, unnest(addr) from emp;
select addr.city, addr['zip'] from emp where addr.zip > 100;
select {'a': id, 'n': name}, struct_pack(x := id), row(id, name) from emp;
select count(*) from emp where addr.city = 'City1' and addr.zip between 100 and 400;
select map {'x': id, 'y': 2} from emp;
select union_value(n := id) from emp;
select count(*) filter (where flag), sum(salary) filter (where id > 10) from emp;
select dept, flag, sum(salary) from emp group by rollup(dept, flag);
select dept, flag, max(id) from emp group by all order by all;
pivot emp on dept in ('eng','ops') using sum(salary) group by flag;
unpivot monthly on columns(* exclude dept) into name month value n;
select t.*, q.price from trades t asof left join quotes q using (sym, tat);
select d.dept, x.n from dept d left join lateral (select count(*) n from emp e where
    e.dept=d.dept) x on true;
select * exclude (js, b, u) from emp;
select * exclude(b) rename (id as ident) from emp;
select columns(lambda c: c like '%a%' and c <> 'dept') from monthly;
select coalesce(*columns('jan|feb')) from monthly;
select salary/3, salary*salary, avg(salary) over (), salary/id, id/7, id//7, id%7, -id//7 from emp;
select salary::decimal(12,4), (salary*1.123)::decimal(10,2), round(salary,1), round(bonus,2)
    from emp;
select m, count(*) from emp where m = 'ok' or m > 'ok' group by m;
select js->'b'->'c'->0, js->>'$.s', js->'a' from emp;
select to_json({'a':id}), json_object('k', name), json_group_array(id) over () from emp;
select json_transform(js, '{"a":"INTEGER","s":"VARCHAR"}') from emp;
select id, sum(id) over (order by id rows between 2 preceding and 1 following), avg(salary) over
    (partition by dept order by hired range between interval 30 days preceding and current row) from
    emp;
select id, sum(id) over (order by id//5 groups between 1 preceding and current row) from emp;
select id, last_value(name ignore nulls) over (order by id), lag(name ignore nulls) over (order
    by id) from emp;
select id, list(id order by id desc) over (partition by dept) from emp;
with recursive t(n) as (select 1 union all select n+1 from t where n < 10) select * from t;
with a as materialized (select dept, sum(salary) s from emp group by 1) select * from a where s
    = (select max(s) from a);
select id from emp where dept in (select dept from dept);
select id, dept in (select dept from dept where budget is not null) from emp;
select id from emp e where salary > (select avg(salary) from emp f where f.dept = e.dept and
    exists (select 1 from dept d where d.dept=f.dept and d.opened < e.hired));
select id from emp where (dept, flag) in (select dept, true from dept);
select d.dept, e.id from dept d left join emp e on d.budget < e.salary;
select * exclude(b) from emp anti join dept using (dept);
select * from dept natural join monthly;
select count(*) from trades t join quotes q on q.tat between t.tat - interval 1 minute and t.tat;
select dept from emp union select dept from dept;
select dept from emp except all select dept from dept;
select name, id from emp order by name nulls first, id desc limit 5 offset 2;
select name from emp order by name collate nocase desc, id;
select greatest(id, 10, null), least(bonus, 3.5), coalesce(bonus, salary) from emp;
select id from emp where id between 5 and 10 and hired not between date '2020-01-01' and date
    '2020-02-01';
select quantile_cont(bonus, 0.9), quantile_disc(id, [0.25,0.5]), percentile_cont(0.5) within
    group (order by salary), approx_quantile(id,0.5) is not null from emp;
select arg_max(name, salary), arg_min(id, salary, 2), max_by(id, hired), max(id, 3),
    any_value(dept order by id), first(id order by id), last(id order by id) from emp;
select fsum(bonus), kahan_sum(bonus), favg(bonus), geomean(bonus) from emp;
select b, octet_length(b), hex(b), 'x'::blob || b from emp;
select tm, tm + interval 1 hour, extract(hour from tm), time '10:00:00' > tm from emp;
select ts::timestamp_ms, ts::timestamp_s, ts::timestamp_ns, ts::varchar, strftime(ts,
    '%H:%M:%S') from emp;
select * from (values (1,'a'),(2,null)) v(x,y);
select id from emp where id in (1,2,3,5,7,11,13,17,19,23,29,31,37,41);
select id from emp where id in [1,2,3] or 'eng' in tags;
select try(1/0), try(cast(name as integer)) from emp;
select id as "weird name", name as "select" from emp;
select avg(n) from (select dept, count(*) n from emp group by 1);
select count(*) from emp;
select id from emp where 1=0;
