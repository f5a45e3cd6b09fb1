select * from dept join monthly using (dept);
select * from dept left join monthly using (dept);
select * from dept right join monthly using (dept);
select * from dept full join monthly using (dept);
select dept from dept full outer join emp using (dept);
select * from dept natural left join monthly;
select count(*) from emp a join emp b on a.id < b.id and a.dept = b.dept;
select count(*) from emp a join emp b on a.id < b.id;
select count(*) from emp a left join emp b on a.salary > b.salary * 2 and b.flag;
select a.id, b.id from emp a full join emp b on a.id = b.id * 2;
select a.id, b.id from emp a right join emp b on a.id = b.id + 50 and a.flag;
select a.id, b.id from emp a full join emp b on a.id < b.id - 55;
select count(*) from emp cross join dept;
select count(*) from emp, dept, monthly;
select id from emp semi join dept using (dept);
select id from emp anti join dept on emp.dept = dept.dept;
select id from emp semi join dept on emp.dept = dept.dept and emp.salary * 100 < dept.budget;
select t.sym, t.tat, q.price from trades t asof join quotes q on t.sym = q.sym and t.tat >= q.tat;
select t.sym, t.tat, q.price from trades t asof left join quotes q on t.sym = q.sym and t.tat >
    q.tat;
select t.sym, t.tat, q.price from trades t asof join quotes q on t.sym = q.sym and t.tat <= q.tat;
select a.x, b.y from (select id x from emp order by id limit 5) a positional join (select id y
    from emp order by id desc limit 3) b;
