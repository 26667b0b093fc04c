"""What every stage stands on: events, log, inbox, runner, settings. No domain decisions."""
