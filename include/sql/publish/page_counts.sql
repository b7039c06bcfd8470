-- What the Segments page tells of new_rows beside the profiles: churn risk by value tier, and who gets which strategy.
select
    case grouping(value_tier, churn_risk, strategy_id, offer, in_holdout)
        when 7 then 'churn_by_value'
        else 'strategy'
    end as kind,
    value_tier,
    churn_risk,
    strategy_id,
    offer,
    coalesce(in_holdout, false) as is_held_out,
    count(*) as customers
from new_rows
group by grouping sets ((value_tier, churn_risk), (strategy_id, offer, in_holdout));
