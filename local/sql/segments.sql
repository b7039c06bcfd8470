-- What `make demo` shows in the end: one line per segment of the current snapshot.
select
    segment_id,
    segment_name,
    count(*) as customers,
    count(*)::float8 / sum(count(*)) over () as share,
    avg(churn_probability_90d)::float8 as churn_probability_90d,
    avg(purchase_probability_30d)::float8 as purchase_probability_30d,
    avg((value_tier = 'high')::int)::float8 as high_value_share,
    avg((value_tier = 'medium')::int)::float8 as medium_value_share,
    avg((value_tier = 'low')::int)::float8 as low_value_share,
    min(as_of_date) as as_of_date
from marketing.customer_segments
group by segment_id, segment_name
order by customers desc, segment_id asc
