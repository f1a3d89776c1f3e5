-- What did each size cost, what of it was lost, and how fast was it?
select sweep, family, shape, params,
       count(*) as attempts,
       sum(train_flops) as train_flops,
       sum(charged_s) as charged_s,
       total(charged_s) filter (where outcome in ('lost', 'failed')) as lost_s,
       sum(data_s) / nullif(sum(device_s), 0) as data_share,
       sum(train_flops) filter (where device_s > 0) / nullif(sum(device_s), 0) as flops_per_s,
       max(peak_bytes) as peak_bytes
from attempt_cost
where :sweep is null or sweep = :sweep
group by sweep, family, shape, params
order by sweep, params, shape;
