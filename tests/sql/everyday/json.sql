select js -> 'a', js ->> 'a', js -> 'b' -> 'c' -> 0, js ->> '$.b.c[1]', js.a, js.b.c[1] from emp;
select json_extract(js, '$.a'), json_extract_string(js, ['$.a', '$.s']), json_type(js),
    json_keys(js), json_array_length(js, '$.b.c'), json_valid('x') from emp;
select json_object('id', id, 'dept', dept), json_array(id, dept), to_json(addr),
    json_merge_patch('{"a":1}', '{"b":2}'), json_contains(js, '1') from emp;
select from_json(js, '{"a": "INTEGER", "b": {"c": ["INTEGER"]}}'), json_structure(js) from emp;
select * from (select (js ->> 'a')::int a from emp) where a > 30;
select json_extract(js, '$.b.c[*]'), js -> '$.b.c[#-1]' from emp;
select js::varchar, '[1,2]'::json, json('{"x": 1}') from emp;
