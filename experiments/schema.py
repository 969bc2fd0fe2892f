"""The store's tables and views, in SQL."""

from __future__ import annotations

from typing import Final

APPLICATION_ID: Final = 0x44454654
"""``DEFT`` in ASCII: marks the SQLite file as ours."""
VERSION: Final = 1
KINDS: Final = ("asked", "executed", "scored", "told", "voided")

TABLES: Final = """
CREATE TABLE runs (
  run TEXT PRIMARY KEY,
  task TEXT NOT NULL, agent TEXT NOT NULL, prior TEXT NOT NULL, reward TEXT NOT NULL, rig TEXT NOT NULL,
  encoder TEXT NOT NULL,
  seed INTEGER NOT NULL, episodes INTEGER NOT NULL,
  config TEXT NOT NULL,
  provenance TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE events (
  run TEXT NOT NULL REFERENCES runs (run),
  seq INTEGER NOT NULL CHECK (seq >= 0),
  kind TEXT NOT NULL CHECK (kind IN ('asked', 'executed', 'scored', 'told', 'voided')),
  role TEXT NOT NULL,
  policy TEXT NOT NULL,
  after INTEGER NOT NULL,
  split TEXT NOT NULL,
  k INTEGER NOT NULL CHECK (k >= 0),
  attempt INTEGER NOT NULL CHECK (attempt >= 0),
  payload TEXT NOT NULL,
  seconds REAL,
  at REAL NOT NULL,
  PRIMARY KEY (run, seq)
) WITHOUT ROWID;

-- Asked, executed and told come once an attempt; scores may be corrected.
CREATE UNIQUE INDEX by_episode ON events (run, role, policy, after, split, k, attempt, kind,
  CASE WHEN kind IN ('scored', 'voided') THEN seq ELSE -1 END);
"""

# An episode's row is its last executed attempt; rewards are the newest scored event's and the one the agent was told.
_EPISODE_ROWS: Final = """
  SELECT x.run, r.task, r.agent, r.prior, r.reward AS reward_name, r.rig, r.encoder, r.seed,
    x.role, x.policy, x.after, x.split,
    x.k, x.attempt,
    coalesce(json_extract(a.payload, '$.residual'), json_extract(x.payload, '$.residual')) AS residual,
    coalesce(json_extract(a.payload, '$.prior'), json_extract(x.payload, '$.prior')) AS prior_grasp,
    json_extract(x.payload, '$.executed_grasp') AS executed_grasp,
    json_extract(x.payload, '$.status') AS status,
    json_extract(x.payload, '$.reason') AS reason,
    coalesce(json_extract(s.payload, '$.success'), json_extract(x.payload, '$.success')) AS success,
    coalesce(json_extract(s.payload, '$.score'), json_extract(x.payload, '$.score')) AS score,
    json_extract(x.payload, '$.subgoals') AS subgoals,
    json_extract(s.payload, '$.reward') AS reward,
    json_extract(t.payload, '$.reward') AS reward_told,
    x.seconds,
    EXISTS (SELECT 1 FROM events v WHERE v.run = x.run AND v.role = x.role AND v.policy = x.policy
      AND v.after = x.after AND v.split = x.split AND v.k = x.k AND v.attempt = x.attempt AND v.kind = 'voided'
    ) AS voided
  FROM events x
  JOIN runs r ON r.run = x.run
  LEFT JOIN events a ON a.run = x.run AND a.role = x.role AND a.policy = x.policy AND a.after = x.after
    AND a.split = x.split AND a.k = x.k AND a.attempt = x.attempt AND a.kind = 'asked'
  LEFT JOIN events s ON s.run = x.run AND s.seq = (
    SELECT max(n.seq) FROM events n WHERE n.run = x.run AND n.role = x.role AND n.policy = x.policy
      AND n.after = x.after AND n.split = x.split AND n.k = x.k AND n.attempt = x.attempt AND n.kind = 'scored')
  LEFT JOIN events t ON t.run = x.run AND t.role = x.role AND t.policy = x.policy AND t.after = x.after
    AND t.split = x.split AND t.k = x.k AND t.kind = 'told'
  WHERE x.kind = 'executed' AND x.role = '{role}' AND NOT EXISTS (
    SELECT 1 FROM events l WHERE l.run = x.run AND l.role = x.role AND l.policy = x.policy AND l.after = x.after
      AND l.split = x.split AND l.k = x.k AND l.kind = 'executed' AND l.attempt > x.attempt)
"""

VIEWS: Final = (
    f"CREATE VIEW episodes AS {_EPISODE_ROWS.format(role='train')};\n"
    f"CREATE VIEW evaluation_episodes AS {_EPISODE_ROWS.format(role='eval')};\n"
    """
CREATE VIEW evaluations AS
  SELECT run, task, agent, prior, reward_name, rig, encoder, seed, policy, after, split, count(*) AS trials,
    sum(success) AS successes, avg(success) AS success_rate, avg(score) AS mean_score
  FROM evaluation_episodes
  WHERE status IN ('completed', 'failed') AND NOT voided
  GROUP BY run, policy, after, split;
"""
)
