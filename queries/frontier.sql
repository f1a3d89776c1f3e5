-- Which trials does no other beat at less or equal compute? By validation error.
select sweep, variant, train_flops, value as val_error, shape, params, unique_examples,
       examples_seen, learning_rate, seed, trial_id
from frontier_point
where metric = 'val_error' and (:sweep is null or sweep = :sweep)
order by sweep, variant, train_flops;
