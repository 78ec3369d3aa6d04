-- Healthy: the next run will start when it is due. A failed run has its own health. Neither a failed run nor a suspension
-- may delay `argocd app wait`.
local status = obj.status or {}
if status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "waiting for the operator"}
end

-- Conditions that are not used below do not affect the health.
local condition = {}
for _, each in ipairs(status.conditions or {}) do
  condition[each.type] = each
end

local stalled, retrying, ready = condition.Stalled, condition.Reconciling, condition.Ready
if stalled and stalled.status == "True" then
  return {status = "Degraded", message = stalled.reason .. ": " .. (stalled.message or "")}
end
if retrying and retrying.status == "True" then
  return {status = "Progressing", message = retrying.message}
end

local message = ready and ready.message or status.phase or ""
if ready and ready.reason == "Scheduled" and status.nextScheduleTime then
  message = "next run at " .. status.nextScheduleTime
end
local failures = status.consecutiveFailures or 0
if failures == 1 then
  message = message .. "; the last run failed"
elseif failures > 1 then
  message = message .. "; the last " .. failures .. " runs failed"
end
local accepted = condition.ModelAccepted
if accepted and accepted.status == "False" then
  message = message .. "; " .. (accepted.message or accepted.reason)
end
return {status = "Healthy", message = message}
