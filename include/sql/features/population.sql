-- feat.population: who has features: customers who consent to profiling and signed up before :as_of.
-- Training asks for those whose id's MD5 is below :sample_below, an even share of them; 'g' is everyone.
select
    c.customer_id,
    c.signed_up_at,
    c.birth_year,
    c.gender,
    c.income_band,
    c.city,
    c.country,
    c.acquisition_channel
from raw.customers as c
inner join raw.customers_now as now on c.customer_id = now.customer_id
where
    c.profiling_consent
    -- whoever has withdrawn since is left out of every day
    and now.profiling_consent
    and c.signed_up_at < :as_of
    and md5(c.customer_id) < :sample_below
