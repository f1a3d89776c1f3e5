-- How did the validation loss of a trial fall? :trial is the beginning of its id.
select sweep, trial_id, step, value as val_loss
from learning_curve
where metric = 'val_loss' and (:sweep is null or sweep = :sweep)
  and trial_id glob coalesce(:trial, '') || '*'
order by sweep, trial_id, step;
