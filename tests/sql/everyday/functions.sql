select cast('5' as int), '5'::bigint, try_cast('x' as int), cast(null as date), cast(id as
    varchar), cast(bonus as int), 2.5::int, 3.5::int, '1'::bool from emp;
select try_cast(name as int), try_cast(id::varchar || 'x' as date), try_cast('2020-02-30' as
    date) from emp;
select cast([1, 2] as varchar), cast('[1, 2]' as int[]), cast({'a': 1} as struct(a varchar)),
    [1, 2]::bigint[2], '{a: 1}'::struct(a int), map{'a':1}::varchar;
select coalesce(null, dept, 'z'), greatest(id, 10), least(name, 'Name 3'), ifnull(name, '-')
    from emp;
select id is null, id is not null, flag is true, flag is not false, flag is distinct from null,
    id is distinct from 3 from emp;
select not flag, flag and null, flag or null, id = 1 or flag, xor(id, 1) from emp;
select id & 3, id | 8, xor(id, 2), ~id, id << 1, id >> 1, id ** 2, id ^ 2, @(-id), id! from emp
    where id < 10;
select abs(-id), sign(id), ceil(bonus), floor(bonus), round(bonus, 1), trunc(bonus), sqrt(id),
    cbrt(id), exp(1), ln(id), log(id), pow(id, 2), mod(id, 3), gcd(id, 6), pi(), degrees(1),
    radians(id), even(bonus), factorial(5) from emp;
select concat(name, dept), concat_ws('-', name, null, dept), name || null, left(name, 3),
    right(name, 3), lpad(dept, 5, '*'), trim('  x '), ltrim('xxa', 'x'), repeat(dept, 2),
    replace(name, 'N', 'M'), substring(name, 2, 3), name[2:4], name[1], position('a' in name),
    split_part(name, ' ', 2), string_split(name, ' '), format('{}-{}', id, dept), printf('%05d',
    id), translate('abc', 'ab', 'xy'), md5(name), sha256(dept), ascii(name), levenshtein(name,
    'Name'), starts_with(name, 'N'), title from (select e.*, 'x' title from emp e);
select hash(id), hash(dept) from emp;
select bar(id, 0, 60, 10), format_bytes(id * 1000), to_base(id, 2), bin(id), hex(id),
    url_encode('a b'), jaccard('ab', 'abc'), ord('a') from emp;
select typeof(id), typeof(salary), typeof(sum(id)), typeof(avg(salary)) from emp group by id,
    salary;
