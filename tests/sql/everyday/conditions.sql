select case dept when 'eng' then 1 when 'ops' then 2 else 0 end c, count(*) from emp group by c
    order by c;
select case when id > 50 then 'big' when id > 20 then 'mid' end from emp;
select if(id > 5, 'a', 'b'), ifnull(dept, 'none'), nullif(dept, 'eng') from emp;
select id from emp where name like '%1_';
select id from emp where name ilike 'NAME 1%' and name not like '%5';
select id from emp where name not ilike 'NAME 1%' or name is null;
select id from emp where name similar to 'Name (1|2)\d';
select id from emp where name ~ 'Name 1.*' and regexp_matches(name, '[0-5]$');
select id from emp where name glob 'Name [12]*';
select regexp_replace(name, '(\d)(\d)', '\2\1'), regexp_split_to_array(name, ' ') from emp;
select regexp_extract(name, '(\w+) (\d+)', ['w', 'n']) from emp where name is not null;
select id from emp where id in (1, 2, 3) and dept not in ('eng', 'hr');
select id from emp where id between 5 and 10 or id not between 3 and 55;
select id from emp where (id, dept) in ((1, 'ops'), (4, 'eng'));
