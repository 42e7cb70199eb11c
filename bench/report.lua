-- What wrk counted, as one line of JSON. Latencies are in microseconds.
function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format('\nRESULT {"requests": %d, "bytes": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d, ' ..
        '"refused": %d, "not_2xx": %d, "timeouts": %d}\n', summary.requests, summary.bytes, summary.duration,
        latency:percentile(50), latency:percentile(99), errors.connect + errors.read + errors.write, errors.status, errors.timeout))
end
