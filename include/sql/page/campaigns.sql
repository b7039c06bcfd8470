-- The campaigns evaluated of late, the latest first, each as last evaluated; by the view of the contract, which looks up
-- the last evaluation of every row there ever was, it would take longer from day to day.
with recent as (
    select
        campaign_id,
        max(as_of_date) as as_of_date,
        max(starts_at) as starts_at
    from evaluation.campaign_results
    where as_of_date > (select max(l.as_of_date) from evaluation.campaign_results as l) - :days
    group by campaign_id
    order by max(starts_at) desc, campaign_id asc
    limit :most
)

select
    r.campaign_id,
    r.campaign_name,
    r.arm,
    r.metric,
    r.design,
    r.status,
    r.starts_at,
    r.as_of_date,
    r.treatment_customers,
    r.control_customers,
    coalesce(r.adjusted_difference, r.difference) as difference,
    case when r.adjusted_difference is null then r.difference_low else r.adjusted_low end as low,
    case when r.adjusted_difference is null then r.difference_high else r.adjusted_high end as high,
    r.roi,
    r.is_trusted,
    r.note
from recent
inner join evaluation.campaign_results as r
    on recent.campaign_id = r.campaign_id and recent.as_of_date = r.as_of_date
where r.segment_id is null and r.design <> 'before_after' and r.metric in ('conversion', 'revenue', 'margin')
order by r.starts_at desc, r.campaign_id asc, r.arm asc, r.metric asc
