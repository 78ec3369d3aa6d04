-- A PredictionJob is Healthy when its predictions are written.
local status = obj.status or {}
if status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "waiting for the operator"}
end

-- Conditions that are not used below do not affect the health.
local condition = {}
for _, each in ipairs(status.conditions or {}) do
  if each.status == "True" then
    condition[each.type] = each
  end
end

if condition.Complete then
  return {status = "Healthy", message = condition.Complete.message}
end
-- A cancelled job is Degraded too, because it writes no predictions.
local failure = condition.Failed or condition.Stalled
if failure then
  return {status = "Degraded", message = failure.reason .. ": " .. (failure.message or "")}
end
if status.phase == "Suspended" then
  return {status = "Suspended", message = "suspended by spec.suspend"}
end

local message = status.phase or "Pending"
if condition.Reconciling and condition.Reconciling.message then
  message = message .. ": " .. condition.Reconciling.message
end
return {status = "Progressing", message = message}
