select 'ünïcödé', upper('ß'), length('日本'), '😀' || name, reverse('äb'), strip_accents('é'),
    chr(960), unicode('π'), 'a' < 'Ä' from emp where id < 3;
select id a, dept a, flag "A" from emp;
select 1, 1, 1;
select name from emp order by name collate nocase, id;
select name collate nocase = 'NAME 1' from emp;
select count(*) from emp where name collate nocase = 'name 5';
select lower(name) collate nocase x, count(*) from emp group by x;
select dept collate noaccent.nocase x, count(*) from emp group by x;
