-- How much does the learning rate matter? Error by rate as a multiple of the best rate's, seeds averaged.
with tried as (
    select sweep, variant, family, shape, params, unique_examples, examples_seen, learning_rate,
           avg(val_error) as val_error,
           count(*) as trials,
           count(*) filter (where state = 'diverged') as diverged
    from trial_result
    where state in ('finished', 'diverged') and (:sweep is null or sweep = :sweep)
    group by sweep, variant, family, shape, params, unique_examples, examples_seen, learning_rate
)
select sweep, variant, shape, unique_examples, examples_seen, learning_rate, val_error,
       val_error / nullif(min(val_error) over same, 0) as times_best,
       trials, diverged
from tried
window same as (partition by sweep, variant, family, shape, params, unique_examples, examples_seen)
order by sweep, variant, params, shape, unique_examples, examples_seen, learning_rate;
