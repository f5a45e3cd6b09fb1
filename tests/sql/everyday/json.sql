select js -> 'a', js ->> 'a', js -> 'b' -> 'c' -> 0, js ->> '$.b.c[1]', js.a, js.b.c[1] from emp;
select json_extract(js, '$.a'), json_extract_string(js, ['$.a', '$.s']), json_type(js),
    json_keys(js), json_array_length(js, '$.b.c'), json_valid('x') from emp;
select json_object('id', id, 'dept', dept), json_array(id, dept), to_json(addr),
    json_merge_patch('{"a":1}', '{"b":2}'), json_contains(js, '1') from emp;
select from_json(js, '{"a": "INTEGER", "b": {"c": ["INTEGER"]}}'), json_structure(js) from emp;
select * from (select (js ->> 'a')::int a from emp) where a > 30;
select json_extract(js, '$.b.c[*]'), js -> '$.b.c[#-1]' from emp;
select js::varchar, '[1,2]'::json, json('{"x": 1}') from emp;
select emp.id, j.key, j.value, j.type from emp, json_each(js) j where emp.id < 4 order by all;
select t.value::int v, count(*) from emp, json_each(js, '$.b.c') t group by 1 order by 1;
select e.n, fullkey, atom, path, j.id, parent from (select id n, js from emp where id < 3) e, json_tree(js) j order by 1, 2;
select * from json_each('{"a": 1, "b": [2, null], "c": "x"}');
select key, value from json_each('[10, 20, 30]') where key::int > 0;
select count(*) from json_tree('{"a": [1, 2]}');
select id, (select count(*) from json_each(js)) n, (select max(value::int) from json_each(js->'b'->'c')) m from emp where id < 5 order by id;
select e.id, j.key from emp e left join lateral (select * from json_each(e.js) x where x.type = 'OBJECT') j on true where e.id < 4 order by all;
select j.value->>0 first, count(*) from emp, json_each(js, '$.b') j group by all order by all limit 3;
select n, key from (select id n, json_object('d', dept, 'f', flag) o from emp), json_each(o) where type = 'NULL' order by all limit 4;
select count(*) from (select null::json j), json_each(j);
select distinct d.title, j.key from emp join dept d using (dept), json_each(js) j order by all;
