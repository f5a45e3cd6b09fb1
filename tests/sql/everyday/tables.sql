create type mood as enum ('sad', 'ok', 'happy');
create table emp(
    id integer, name varchar, dept varchar, salary decimal(10, 2), bonus double, hired date,
    ts timestamp, tstz timestamptz, tags varchar[], addr struct(city varchar, zip integer),
    attrs map(varchar, integer), js json, m mood, h hugeint, u uuid, b blob, tm time, iv interval,
    flag boolean, small smallint, ubig ubigint, mgr integer);
create table dept(dept varchar, title varchar, budget bigint, opened date);
create table trades(sym varchar, tat timestamp, qty integer);
create table quotes(sym varchar, tat timestamp, price decimal(9, 3));
create table monthly(dept varchar, jan integer, feb integer, mar integer);
create table ev(k integer, v integer);
insert into emp select
    i,
    case when i % 11 = 0 then null else 'Name ' || i end,
    ['eng', 'ops', 'sales', null][i % 4 + 1],
    (i * 137.5)::decimal(10, 2),
    case when i % 7 = 0 then null else i / 3.0 end,
    date '2020-01-01' + i::integer * 10,
    timestamp '2021-03-01 10:00:00' + to_minutes(i * 61),
    timestamptz '2021-03-01 10:00:00+00' + to_hours(i),
    case when i % 5 = 0 then [] when i % 6 = 0 then null else ['t' || (i % 3), 'x' || i] end,
    {'city': 'City' || (i % 3), 'zip': i * 10},
    map(['a', 'b'], [i, i + 1]),
    ('{"a":' || i || ',"b":{"c":[1,2,' || i || ']},"s":"v' || i || '"}')::json,
    (['sad', 'ok', 'happy'])[i % 3 + 1]::mood,
    i::hugeint * 100000000000000000000,
    md5(i::varchar)::uuid,
    ('b' || i)::blob,
    time '08:00:00' + to_minutes(i),
    to_days(i),
    i % 2 = 0,
    i::smallint,
    i * 1000,
    case when i > 1 then i // 2 end
from range(1, 60) r(i);
insert into dept values
    ('eng', 'Engineering', 1000000, '2019-01-01'), ('ops', 'Operations', 500000, '2018-06-01'),
    ('hr', 'People', null, '2017-02-01');
insert into trades select ['A', 'B'][i % 2 + 1], timestamp '2024-01-01 09:30:00' + to_seconds(i * 37), i
from range(20) r(i);
insert into quotes select
    ['A', 'B'][i % 2 + 1], timestamp '2024-01-01 09:29:00' + to_seconds(i * 23), 100 + i * 0.125
from range(40) r(i);
insert into monthly values ('eng', 1, 2, 3), ('ops', 4, null, 6);
insert into ev select i % 5, i from range(50) r(i);
