-- How far apart are seeds, in trials that are the same otherwise? The widest first.
select sweep, variant, shape, unique_examples, examples_seen, learning_rate,
       count(*) as seeds,
       avg(val_error) as mean_val_error,
       max(val_error) - min(val_error) as spread,
       (max(val_error) - min(val_error)) / nullif(avg(val_error), 0) as relative_spread
from trial_result
where val_error is not null and (:sweep is null or sweep = :sweep)
group by sweep, variant, family, shape, params, unique_examples, examples_seen, train_flops,
         learning_rate
having count(distinct seed) > 1
order by spread desc;
