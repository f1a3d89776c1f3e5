-- Which segments failed or diverged, why, and how many trials have no result for it?
select chain.sweep, segment.state, segment.kind, trial.shape, trial.learning_rate,
       segment.diverged_step, segment.attempt as attempts, count(distinct chain.trial_id) as trials,
       segment.reason, segment.segment_id
from segment
join trial_segment as chain using (segment_id)
join trial using (trial_id)
where segment.state in ('failed', 'diverged') and (:sweep is null or chain.sweep = :sweep)
group by chain.sweep, segment.segment_id
order by chain.sweep, trials desc, segment.segment_id;
