<#
.SYNOPSIS
Records the drivers' events until Enter is pressed, or from the next start on. docs/tracing.md tells what they say.
.PARAMETER Output
The file to write; it must not exist yet.
.PARAMETER Everything
Also every batch and every spurious interrupt.
.PARAMETER Boot
Records the next start; run the script again with -BootStop afterwards.
.PARAMETER BootStop
Ends what -Boot began and writes the file.
.EXAMPLE
.\trace.ps1 -Output C:\netdma\trace.etl -WhatIf
#>
[CmdletBinding(SupportsShouldProcess)]
param(
    [Parameter(Mandatory)] [string] $Output,
    [switch] $Everything,
    [switch] $Boot,
    [switch] $BootStop
)
Set-StrictMode -Version 3.0
$ErrorActionPreference = 'Stop'
Import-Module -Name (Join-Path -Path $PSScriptRoot -ChildPath 'netdma.psm1') -Force

Assert-NetDmaMachine
$profile_ = Join-Path -Path $PSScriptRoot -ChildPath '..\docs\netdma.wprp'
if (-not (Test-Path -Path $profile_ -PathType Leaf)) { throw "$profile_ is missing: it says what is recorded." }
if (Test-Path -Path $Output) { throw "$Output exists already: give another name." }
$chosen = '{0}!NetDMA.{1}' -f $profile_, $(if ($Everything) { 'Verbose' } else { 'Light' })

if ($BootStop) {
    if ($PSCmdlet.ShouldProcess($Output, 'write the recording of the last start')) {
        Invoke-NetDmaTool -Program 'wpr.exe' -Arguments '-boottrace', '-stopboot', $Output | Out-Null
    }
} elseif ($Boot) {
    if ($PSCmdlet.ShouldProcess($chosen, 'record the next start')) {
        Invoke-NetDmaTool -Program 'wpr.exe' -Arguments '-boottrace', '-addboot', $chosen | Out-Null
        Write-Warning -Message 'Restart, then run this again with -BootStop.'
    }
} elseif ($PSCmdlet.ShouldProcess($chosen, "record to $Output")) {
    Invoke-NetDmaTool -Program 'wpr.exe' -Arguments '-start', $chosen | Out-Null
    try {
        Read-Host -Prompt 'Recording. Press Enter to stop' | Out-Null
    } finally {
        Invoke-NetDmaTool -Program 'wpr.exe' -Arguments '-stop', $Output | Out-Null
    }
}
