-- Over which channels the customer comes, and what is read and watched there.
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

shares as (
    select
        *,
        cast(sessions as double) / sum(sessions) over (partition by customer_id) as share,
        row_number() over (partition by customer_id order by sessions desc, channel asc) as place,
        row_number() over (partition by customer_id order by articles + videos desc, channel asc) as content_place
    from by_channel
),

channels as (
    select
        customer_id,
        sum(articles) as articles,
        sum(videos) as videos,
        sum(ads) as ads,
        count(*) as channels,
        max(case when place = 1 then channel end) as top,
        max(case when place = 1 then share end) as top_share,
        max(case when content_place = 1 and articles + videos > 0 then channel end) as content_channel,
        abs(round(-sum(share * ln(share)), 12)) as entropy
    from shares
    group by customer_id
)

select
    p.customer_id,
    -- The channel of most sessions; of equals the first by name. [name; 90 days; null: no session in them]
    c.top as channel_top,
    -- Share of the sessions over that channel. [share; 90 days; null: no session in them]
    c.top_share as channel_top_share,
    -- Channels with a session. [channels; 90 days]
    coalesce(c.channels, 0) as channels_90d,
    -- How evenly the sessions are spread over channels: entropy, 0 is one. [nats; 90 days; null: no session in them]
    c.entropy as channel_entropy,
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
    c.content_channel as content_channel_top
from feat.population as p
left join channels as c on p.customer_id = c.customer_id
