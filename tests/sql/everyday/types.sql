select m, m::varchar, m > 'sad', enum_range(m::enum('sad','ok','happy')) from emp order by m, id;
select 'ok'::enum('sad', 'ok', 'happy') e, count(*) from emp group by e;
select case when flag then 'x' else 'y' end::enum('y', 'x') e, count(*) c from emp group by e
    order by e;
select u, u::varchar, 'aaaaaaaa-0000-0000-0000-000000000000'::uuid > u from emp;
select u, count(*) from emp group by u;
select a.u from emp a join emp b using (u);
select b, b || 'z'::blob, hex(b), encode('ä'), decode('ab'::blob), '\xAA'::blob, base64(b),
    b::varchar from emp;
select b, count(*) from emp group by b;
select ('1' || (id % 2))::bit x, count(*) from emp group by x;
select id::hugeint * 170141183460469231, sum(id::hugeint), (id * 10)::uhugeint from emp group by
    id;
select a.id from (select id, id::hugeint h from emp) a join (select id::hugeint h from emp) b on
    a.h = b.h;
select salary::decimal(18, 3) / 7, salary * 1.1, salary % 3, salary // 2, 1.5 + id, 0.1 + 0.2,
    round(salary / 3, 2), 10 / 4, 10 // 4, -7 // 2, -7 % 3 from emp;
select 1e308 * 10, -1e308 * 10, 'nan'::double, 'nan'::double = 'nan'::double, 'inf'::double >
    1e300, -0.0, 0.0, 1 / 0.0 is null;
select x, count(*) from (values (0.0::double), (-0.0), ('nan'), ('nan'), ('inf'), ('-inf'),
    (null)) v(x) group by x;
select x from (values (0.0::double), (-0.0), ('nan'), ('inf'), ('-inf'), (null)) v(x) order by x;
select -0.0::double, -0.0::float, '-0'::double, 0.0 * -1, -(0.0::double);
select isnan(x), isinf(x), isfinite(x), abs(x), sqrt(abs(x)) from (values ('nan'::double),
    ('inf'), (-1)) v(x);
select -0.0::double, -0.0::float, '-0'::double, 0.0 * -1, -(0.0::double), [0.0::double, -0.0],
    {'a': -0.0::double}, 0.0::double;
select x, 1/x from (values (0.0::double), (-0.0)) v(x);
select timetz '12:00:00+01' a, timetz '12:00:00.5-15:59:59' b, timetz '24:00:00+05:30' c, 
    ['00:00:00+00'::timetz] d, (timetz '01:02:03-03:30')::varchar e from dept;
select tm::timetz t, count(*) from emp where tm::timetz >= '11:00:00+00' group by t;
select null union all select null;
select null a, null b from dept union select null, null;
select map {} m, {'m': map {}} s, id from emp;
select map {} m, {'m': map {}} s, count(*) from emp group by all;
select distinct {'i': iv, 'l': [iv]} s from emp;
select count(*), count(distinct s) from (select {'i': iv} s from emp) group by s;
select count(*) from (select {'i': iv} s from emp) a join (select {'i': iv} s from emp) b using (s);
select invoke(lambda x, y: list_transform([x, y], lambda z: z + id), small, 3) from emp;
