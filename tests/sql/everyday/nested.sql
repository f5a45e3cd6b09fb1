select addr.city, addr['zip'], addr, struct_extract(addr, 'city') from emp;
select addr.*, id from emp;
select unnest(addr), id from emp;
select unnest({'a': 1, 'b': {'c': 2, 'd': 3}}, recursive := true);
select tags[1], tags[-1], tags[1:2], tags[:1], tags[2:], len(tags), tags || ['z'] from emp;
select list_contains(tags, 't1'), list_position(tags, 't2'), list_sort(tags, 'desc'),
    list_distinct(tags), array_to_string(tags, '-'), list_reverse(tags) from emp;
select list_sum([id, 2]), list_avg([id, 3]), list_min([id, 5]), list_aggregate([id, id + 1],
    'string_agg', '|'), list_unique([1, 1, id]) from emp;
select list_zip([1, 2], ['a', 'b']), flatten([[id], [2, 3]]), list_resize([id], 3, 0), range(id
    % 4), generate_series(1, id % 3) from emp;
select [x * 2 for x in [1, 2, id] if x > 1], list_filter([1, 2, id], lambda x: x % 2 = 0),
    list_reduce([1, 2, id], lambda a, b: a + b) from emp;
select list_transform([1, 2, 3], lambda x, i: x * i + id), list_transform(tags, lambda t:
    list_transform([1, 2], lambda n: t || n || id)) from emp;
select list_reduce([1, 2], lambda a, b: a + b, id) from emp;
select attrs['a'], attrs['zz'], map_keys(attrs), map_values(attrs), cardinality(attrs),
    map_entries(attrs), attrs from emp;
select map([id, 100], ['x', 'y'])[id], map_from_entries([(id, 'a')]), map {'k': [id]},
    map_concat(attrs, map {'c': 9}) from emp;
select id, addr from emp where addr.zip > 300;
select * exclude (m) from emp where addr.city = 'City1' and addr.zip between 100 and 400;
select id from emp where addr.zip > 500 or addr is null;
select id, addr from emp where addr.zip in (10, 20) or addr.city like '%2';
select a.id, b.addr from emp a join emp b on a.addr = b.addr and b.addr.zip > 500;
select struct_insert(addr, z := id, "odd "" name" := name), struct_update(addr, zip := name, new :=
    id), struct_update({'a': id, 'B': dept}, b := 1) from emp;
select list_transform([id], lambda x: struct_insert({'a': x}, b := x + 1)) from emp;
