-- The head that an API client sends, and a summary that a program can read.
-- With a file of paths (wrk ... -- FILE) requests go round them; without, all go to the URL.

wrk.headers["User-Agent"] = "bench/1.0 (x86_64; linux)"
wrk.headers["Accept"] = "application/json, text/plain;q=0.9, */*;q=0.8"
wrk.headers["Accept-Encoding"] = "gzip, deflate, br"
wrk.headers["Authorization"] = "Bearer 3f9a1c07d2b84e65a1f0c9d7e8b6a5243f9a1c07d2b84e65a1f0c9d7e8b6a524"

local function go_round(file)
  local requests = {}
  for line in io.lines(file) do
    local host, path = line:match("^(%S+) (%S+)$")
    wrk.headers["Host"] = host
    requests[#requests + 1] = wrk.format("GET", path)
  end
  local at = 0
  request = function()
    at = at % #requests + 1
    return requests[at]
  end
end

function init(args)
  if args[1] then
    go_round(args[1])
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'SUMMARY {"requests":%d,"microseconds":%d,"bytes":%d,"p50":%d,"p99":%d,"max":%d,' ..
    '"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}\n',
    summary.requests, summary.duration, summary.bytes,
    latency:percentile(50), latency:percentile(99), latency.max,
    errors.connect, errors.read, errors.write, errors.status, errors.timeout
  ))
end
