-- The campaigns that began last, each as last evaluated. From one campaign to the next by the index: the view of the
-- contract looks at every evaluation that there ever was.
with recursive names as (
    select min(campaign_id) as campaign_id
    from evaluation.campaign_results
    union all
    select (
        select min(r.campaign_id) from evaluation.campaign_results as r
        where r.campaign_id > n.campaign_id
    )
    from names as n
    where n.campaign_id is not null
),

recent as (
    select
        n.campaign_id,
        l.as_of_date
    from names as n
    cross join
        lateral (
            select
                r.as_of_date,
                r.starts_at
            from evaluation.campaign_results as r
            where r.campaign_id = n.campaign_id
            order by r.as_of_date desc
            limit 1
        ) as l
    order by l.starts_at desc, n.campaign_id asc
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
