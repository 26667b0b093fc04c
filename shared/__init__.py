"""What every stage stands on: events, log, inbox, runner, settings, metrics. No domain decisions."""
