"use strict";
/**
 * What happens in the server as one step: a Lua script.
 *
 * It is that of `godot_otel/queue/scripts.py`, byte for byte; `tests/contract` holds it.
 */

const ADMIT = `#!lua flags=allow-oom
local m = redis.call('HMGET', KEYS[2], 'max_bytes', 'max_records', 'bytes', 'records',
                     'level_version')
local size, count = tonumber(ARGV[1]), tonumber(ARGV[2])
local bytes, records = tonumber(m[3] or 0), tonumber(m[4] or 0)
if bytes + size > tonumber(m[1] or ARGV[3]) then return {0, 'bytes'} end
if records + count > tonumber(m[2] or ARGV[4]) then return {0, 'records'} end
local info = redis.pcall('INFO', 'memory')
if type(info) == 'string' then
  local limit = tonumber(string.match(info, 'maxmemory:(%d+)') or 0)
  local used = tonumber(string.match(info, 'used_memory:(%d+)') or 0)
  if limit > 0 and used + 2 * size > limit then return {0, 'memory'} end
end
local id = redis.call('XADD', KEYS[1], '*', unpack(ARGV, 5))
redis.call('HINCRBY', KEYS[2], 'bytes', size)
redis.call('HINCRBY', KEYS[2], 'records', count)
redis.call('HINCRBY', KEYS[2], 'admitted_batches', 1)
redis.call('HINCRBY', KEYS[2], 'admitted_records', count)
return {1, id, m[5] or '0'}
`;

module.exports = { ADMIT };
