-- Over which channels the customer comes, `unknown` where the shop does not say, and what is read and watched there.
with
by_channel as (
    select
        customer_id,
        channel,
        sum(sessions) as sessions,
        sum(article_reads) as articles,
        sum(video_views) as videos,
        sum(ad_views) as ads
    from agg.sessions
    where visited_on >= cast(:as_of - interval 90 day as date)
    group by customer_id, channel
    having sum(sessions) > 0
),

channels as (
    select
        customer_id,
        sum(sessions) as sessions,
        sum(articles) as articles,
        sum(videos) as videos,
        sum(ads) as ads,
        count(*) as channels,
        max(sessions) as top_sessions,
        max(articles + videos) as top_content,
        sum(sessions * ln(cast(sessions as double))) as sessions_by_log
    from by_channel
    group by customer_id
),

tops as (
    select
        c.customer_id,
        min(case when b.sessions = c.top_sessions then b.channel end) as top,
        min(case when b.articles + b.videos = c.top_content and c.top_content > 0 then b.channel end) as content_channel
    from channels as c
    inner join by_channel as b on c.customer_id = b.customer_id
    group by c.customer_id
)

select
    p.customer_id,
    -- The channel of most sessions; of equals the first by name. [name; 90 days; null: no session in them]
    t.top as channel_top,
    -- Share of the sessions over that channel. [share; 90 days; null: no session in them]
    cast(c.top_sessions as double) / c.sessions as channel_top_share,
    -- Channels with a session. [channels; 90 days]
    coalesce(c.channels, 0) as channels_90d,
    -- How evenly the sessions are spread over channels: entropy, 0 is one. [nats; 90 days; null: no session in them]
    abs(round(ln(cast(c.sessions as double)) - c.sessions_by_log / c.sessions, 10)) as channel_entropy,
    -- Articles read. [articles; 90 days]
    coalesce(cast(c.articles as bigint), 0) as articles_90d,
    -- Videos watched. [videos; 90 days]
    coalesce(cast(c.videos as bigint), 0) as videos_90d,
    -- Ads seen. [ads; 90 days]
    coalesce(cast(c.ads as bigint), 0) as ads_90d,
    -- Videos as a share of articles and videos. [share; 90 days; null: neither in them]
    cast(c.videos as double) / nullif(c.articles + c.videos, 0) as video_share,
    -- What there is more of: article or video; article if there is as much. [name; 90 days; null: neither in them]
    case when c.articles + c.videos > 0 then case when c.videos > c.articles then 'video' else 'article' end end
        as content_top,
    -- The channel of most articles and videos; of equals the first by name. [name; 90 days; null: neither in them]
    t.content_channel as content_channel_top
from feat.population as p
left join channels as c on p.customer_id = c.customer_id
left join tops as t on p.customer_id = t.customer_id
