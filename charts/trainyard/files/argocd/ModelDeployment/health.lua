-- Healthy: the version that the policy selects serves, or the selected version was withdrawn and a good version serves.
-- The conditions follow kstatus: Ready always exists, Reconciling and Stalled exist only while they are true.
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

local stalled, rolling, ready = condition.Stalled, condition.Reconciling, condition.Ready
if stalled then
  return {status = "Degraded", message = stalled.reason .. ": " .. (stalled.message or "")}
end
if rolling then
  local health = "Progressing"
  if rolling.reason == "AwaitingPromotion" then
    health = "Suspended"
  end
  return {status = health, message = rolling.message}
end
if not ready then
  return {status = "Progressing", message = status.phase or "Pending"}
end

local message = ready.message or ("version " .. tostring(status.activeVersion) .. " serves")
if condition.RolledBack then
  message = message .. "; " .. (condition.RolledBack.message or condition.RolledBack.reason)
end
if condition.NewerVersionRejected then
  message = message .. "; " .. (condition.NewerVersionRejected.message or condition.NewerVersionRejected.reason)
end
return {status = "Healthy", message = message}
