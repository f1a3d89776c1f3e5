-- What is the lowest error of each size, and which trial reached it?
select sweep, variant, shape, params, val_error, val_loss, unique_examples, examples_seen,
       train_flops, learning_rate, seed, trial_id
from (
    select *, row_number() over (
        partition by sweep, variant, family, shape
        order by val_error, train_flops, trial_id
    ) as place
    from trial_result
    where val_error is not null and (:sweep is null or sweep = :sweep)
)
where place = 1
order by sweep, variant, params, shape;
