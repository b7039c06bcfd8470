-- Why was :day slow: each stage of its latest run of :dag_id against the median of the 14 runs before.
-- `waited` is from the end of what ended last before the stage began until its own begin.
with ended as (
    select
        dag_id,
        run_id,
        day,
        stage,
        state,
        started_at,
        finished_at,
        seconds,
        rows_out,
        row_number() over (partition by dag_id, run_id, stage order by try_number desc, finished_at desc) as latest
    from ops.runs
    where dag_id = :dag_id and started_at is not null
),

stages as (
    select * from ended
    where latest = 1
),

runs as (
    select
        run_id,
        day,
        max(finished_at) as finished_at
    from stages
    group by run_id, day
),

asked as (
    select
        run_id,
        finished_at
    from runs
    where day = :day
    order by finished_at desc
    limit 1
),

before as (
    select r.run_id
    from runs as r, asked as a
    where r.finished_at < a.finished_at
    order by r.finished_at desc
    limit 14
),

usual as (
    select
        stage,
        count(*) as runs,
        percentile_cont(0.5) within group (order by seconds) as seconds,
        percentile_cont(0.5) within group (order by rows_out) as rows_out
    from stages
    where run_id in (select b.run_id from before as b) and state = 'success'
    group by stage
),

today as (
    select
        s.*,
        (
            select max(e.finished_at) from stages as e
            where e.run_id = s.run_id and e.finished_at <= s.started_at
        ) as could_begin_at
    from stages as s
    inner join asked as a on s.run_id = a.run_id
)

select
    t.stage,
    t.state,
    round(t.seconds::numeric, 1) as seconds,
    round(u.seconds::numeric, 1) as usual_seconds,
    round((t.seconds - u.seconds)::numeric, 1) as more_seconds,
    round(extract(epoch from t.started_at - t.could_begin_at), 1) as waited,
    t.rows_out,
    round(u.rows_out::numeric) as usual_rows_out,
    coalesce(u.runs, 0) as compared_with
from today as t
left join usual as u on t.stage = u.stage
order by coalesce(t.seconds - u.seconds, t.seconds) desc, t.stage
