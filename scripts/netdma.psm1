# What the scripts in this folder share. Windows PowerShell 5.1 or later; nothing here was run on Windows yet
# (docs/evidence.md).
Set-StrictMode -Version 3.0

# The packages in the order in which they are installed: the others import from the first.
$script:Packages = 'netdma', 'ioatdma', 'netdmatest'
# The files that Driver Verifier names drivers by.
$script:Images = 'netdma.sys', 'ioatdma.sys', 'netdmatest.sys'

function Get-NetDmaPackages { $script:Packages }

function Get-NetDmaImages { $script:Images }

# Stops with one line unless an administrator runs this on 64-bit Windows 10 2004 or later.
function Assert-NetDmaMachine {
    $identity = [Security.Principal.WindowsIdentity]::GetCurrent()
    $principal = New-Object -TypeName Security.Principal.WindowsPrincipal -ArgumentList $identity
    if (-not $principal.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
        throw 'Not an administrator: open PowerShell with "Run as administrator" and try again.'
    }
    if (-not [Environment]::Is64BitOperatingSystem) {
        throw 'This is 32-bit Windows; the drivers exist for x64 only.'
    }
    # 19041 is Windows 10 2004, the oldest release that has every function the images import.
    if ([Environment]::OSVersion.Version.Build -lt 19041) {
        throw "Build $([Environment]::OSVersion.Version.Build) is older than 19041 (Windows 10 2004)."
    }
}

# Whether the running system takes test-signed drivers.
function Test-NetDmaTestSigning {
    # What the boot loader handed to the kernel: bcdedit would say what the next start gets, in the language of the system.
    $options = (Get-ItemProperty -Path 'HKLM:\SYSTEM\CurrentControlSet\Control').SystemStartOptions
    return $options -match '(^|\s)TESTSIGNING(\s|$)'
}

# Whether Secure Boot is on; with it on, testsigning cannot be set.
function Test-NetDmaSecureBoot {
    $key = 'HKLM:\SYSTEM\CurrentControlSet\Control\SecureBoot\State'
    if (-not (Test-Path -Path $key)) { return $false }
    return (Get-ItemProperty -Path $key).UEFISecureBootEnabled -eq 1
}

# Runs a program and stops when its exit code is none of $Good.
function Invoke-NetDmaTool {
    param(
        [Parameter(Mandatory)] [string] $Program,
        [Parameter(Mandatory)] [string[]] $Arguments,
        [int[]] $Good = @(0)
    )
    $output = & $Program @Arguments 2>&1 | Out-String
    Write-Verbose -Message "$Program $($Arguments -join ' ')`n$output"
    if ($Good -notcontains $LASTEXITCODE) {
        throw "$Program $($Arguments -join ' ') failed with $LASTEXITCODE`: $output"
    }
    return $output
}

# The packages of ours in the driver store: published name (oemN.inf) and original name.
function Get-NetDmaInstalled {
    # The labels of pnputil's list are translated, so drivers are asked of the system instead.
    Get-WindowsDriver -Online -ErrorAction Stop |
        Where-Object -FilterScript {
            $name = [IO.Path]::GetFileNameWithoutExtension($_.OriginalFileName)
            ($script:Packages -contains $name) -and ($_.ProviderName -eq 'NetDMA for Windows')
        } |
        ForEach-Object -Process {
            [pscustomobject] @{
                Package   = [IO.Path]::GetFileNameWithoutExtension($_.OriginalFileName)
                Published = $_.Driver
                Version   = $_.Version
            }
        }
}

$exported = @('Get-NetDmaPackages', 'Get-NetDmaImages', 'Assert-NetDmaMachine', 'Test-NetDmaTestSigning',
    'Test-NetDmaSecureBoot', 'Invoke-NetDmaTool', 'Get-NetDmaInstalled')
Export-ModuleMember -Function $exported
