select hired + 1, hired - 5, hired - date '2020-01-01', hired + interval 1 month, hired -
    interval '2 weeks 3 days' from emp;
select ts + interval 90 minute, ts - timestamp '2021-01-01', age(ts, timestamp '2020-01-01'),
    date_sub('month', hired, ts::date) from emp;
select extract(year from hired), extract(dow from hired), extract(epoch from ts),
    date_part(['year', 'month'], hired), week(hired), yearweek(hired) from emp;
select date_trunc('week', ts), date_trunc('quarter', hired), time_bucket(interval '15 minutes',
    ts), last_day(hired) from emp;
select tstz, tstz at time zone 'America/New_York', timezone('Asia/Tokyo', ts), extract(hour from
    tstz at time zone 'Asia/Kolkata') from emp;
select strftime(ts, '%Y/%m/%d %H'), strptime('2024-01-05 10:00', '%Y-%m-%d %H:%M'), ts::date,
    ts::time, epoch_ms(ts), to_timestamp(id) from emp;
select make_date(2020, 1, id % 28 + 1), make_time(id % 24, 0, 0), make_timestamp(2020, 2, 2, 3,
    4, 5.5), to_days(id), to_hours(id) from emp;
select interval '1 year' * id, iv + interval 1 hour, iv > interval 10 days, -iv, extract(day
    from iv) from emp;
select min(hired), max(ts), min(tm), max(iv), min(tstz) from emp;
select date 'infinity' > hired, isfinite(hired), '-infinity'::timestamp < ts from emp;
select tm - interval 3 hours, tm + interval 20 hours, tm::varchar, '12:30'::time,
    ('10:00:00+02'::timetz)::varchar from emp;
