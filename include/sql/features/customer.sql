-- Who the customer is: what the shop knows of the person.
select
    p.customer_id,
    -- Days since the customer signed up. [days; ever]
    date_diff('day', cast(p.signed_up_at as date), :as_of) as tenure_days,
    -- Age by the year of birth, whatever the month. [years; now; null: not known]
    extract(year from :as_of) - p.birth_year as age_years,
    -- Gender as the shop has it. [name; now; null: not known]
    p.gender,
    -- Income band: low, middle or high. [name; now; null: not known]
    p.income_band,
    -- City. [name; now; null: not known]
    p.city,
    -- Country. [name; now; null: not known]
    p.country,
    -- What brought the customer to the shop, e.g. search_ad. [name; ever; null: not known]
    p.acquisition_channel
from feat.population as p
