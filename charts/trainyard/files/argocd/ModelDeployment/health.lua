-- Healthy means: the version that the policy wants serves, or a good one serves and the policy's own choice was refused.
-- The status is that of kstatus: Ready always there, Reconciling and Stalled only while they are true.
local status = obj.status or {}
if status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "waiting for the operator"}
end

-- Conditions that are not asked for below may come and go without changing the health.
local condition = {}
for _, each in ipairs(status.conditions or {}) do
  if each.status == "True" then
    condition[each.type] = each
  end
end

if condition.Stalled then
  local stalled = condition.Stalled
  return {status = "Degraded", message = stalled.reason .. ": " .. (stalled.message or "")}
end
if condition.Reconciling then
  local health = "Progressing"
  if condition.Reconciling.reason == "AwaitingPromotion" then
    health = "Suspended"
  end
  return {status = health, message = condition.Reconciling.message or status.phase}
end
if not condition.Ready then
  return {status = "Progressing", message = status.phase or "Pending"}
end

local message = "version " .. tostring(status.activeVersion) .. " serves"
if status.hold then
  message = message .. "; held (" .. status.hold.reason .. ")"
end
local rejected
for _, each in ipairs(status.rejectedVersions or {}) do
  if rejected == nil or each.version > rejected.version then
    rejected = each
  end
end
if rejected and rejected.version > (status.activeVersion or 0) then
  message = message .. "; version " .. rejected.version .. " was refused: " .. rejected.reason
end
return {status = "Healthy", message = message}
