-- Healthy means: it will run when it is due. A run that failed has a health of its own, and neither a failed run nor a
-- suspension may hold up `argocd app wait`.
local status = obj.status or {}
if status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "waiting for the operator"}
end

for _, each in ipairs(status.conditions or {}) do
  if each.type == "Stalled" and each.status == "True" then
    return {status = "Degraded", message = each.reason .. ": " .. (each.message or "")}
  end
end

local message = "runs when the template changes"
if obj.spec.suspend then
  message = "suspended by spec.suspend"
elseif status.nextScheduleTime then
  message = "next run at " .. status.nextScheduleTime
end
local failures = status.consecutiveFailures or 0
if failures == 1 then
  message = message .. "; the last run failed"
elseif failures > 1 then
  message = message .. "; the last " .. failures .. " runs failed"
end
return {status = "Healthy", message = message}
