-- Which twenty segments took longest, and how long were they predicted to take?
select sweep, shape, kind,
       sum(charged_s) as charged_s,
       predicted_s,
       sum(charged_s) / nullif(predicted_s, 0) as times_predicted,
       count(*) as attempts,
       sum(steps) as steps,
       device_name, segment_id
from attempt_cost
where :sweep is null or sweep = :sweep
group by sweep, segment_id
order by sum(charged_s) desc
limit 20;
