-- Which sweeps are there, how far are they, and what have they cost?
select
    sweep,
    count(*) as trials,
    count(*) filter (where state = 'finished') as finished,
    count(*) filter (where state = 'diverged') as diverged,
    count(*) filter (where state = 'failed') as failed,
    sweep_spent.train_flops,
    sweep_spent.charged_s
from trial_state left join sweep_spent using (sweep)
where :sweep is null or sweep = :sweep
group by sweep
order by sweep;
