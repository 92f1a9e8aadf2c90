//! What everybody is told of a change of a run: the journal, the outbox, the audit, and people if it failed.
