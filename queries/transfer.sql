-- What did each size reach on other tasks? The lowest of each metric.
select sweep, variant, shape, params, metric, min(value) as best, count(*) as trials
from evaluation join trial_result using (sweep, trial_id)
where value is not null and metric not in ('val_loss', 'val_error')
  and (:sweep is null or sweep = :sweep)
group by sweep, variant, family, shape, params, metric
order by sweep, variant, metric, params;
