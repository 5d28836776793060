-- What servers tell each other beside decisions.

-- By which key each server signs the viewer tokens that it makes, so that the others know them. Only the public half is here:
-- whoever reads this table, or a dump of it, can make no token. A server renews its row every hour; one that is gone counts for a day.
-- One that was rejected never counts again: renewing it changes nothing, and it is not removed.
CREATE TABLE trailseal.viewer_keys (
    key      text COLLATE "C" PRIMARY KEY,
    origin   text COLLATE "C" NOT NULL, -- the trail of the server
    kept     timestamptz      NOT NULL DEFAULT now(),
    rejected timestamptz
) WITH (fillfactor = 50);

-- How far the rows of each trail have been looked through for flags, which then are reviews. The server of a trail, if it has one, puts
-- its requests into `reviews` itself, and keeps its own cursor.
CREATE TABLE trailseal.flag_cursors (
    origin text COLLATE "C" PRIMARY KEY,
    next   bigint NOT NULL
) WITH (fillfactor = 50);
-- What was delivered before is not looked through: years of flags would all wait for a decision at once. Whoever wants those of a trail
-- sets its cursor to 0.
INSERT INTO trailseal.flag_cursors SELECT origin, next FROM trailseal.cursors;
