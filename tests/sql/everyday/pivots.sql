pivot monthly on dept in ('eng', 'ops') using sum(jan), max(feb);
pivot emp on dept in ('eng', 'ops', 'hr') using count(*) as n, sum(salary) as s group by flag
    order by flag;
pivot emp on flag in (true, false) using sum(id);
from (pivot emp on m in ('sad', 'ok') using avg(id) group by dept);
select * from emp pivot (sum(id) for dept in ('eng', 'ops') group by flag);
unpivot monthly on jan, feb, mar into name mon value qty;
unpivot monthly on (jan, feb) as a, (feb, mar) as b into name k value x, y;
select * from monthly unpivot (qty for mon in (jan, feb, mar));
